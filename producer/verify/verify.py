"""A run directory in, its receipt out: is every item there exactly once, and does all that is written agree?"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from common.datasets import fetch
from common.errors import ItemError, ManyeyesError, UsageError
from common.protocol.ledger import RunState
from jobs.detect.tables.parquet import read_images
from producer.rundir.journal import Journal, JournalAsItIs
from producer.rundir.manifest import Manifest
from producer.rundir.run_directory import RunDir
from producer.verify.image_check import image_rows
from producer.verify.receipt import Findings, Part, Receipt
from producer.verify.table_check import Sources, Totals, check_tables

#: Told after each file that was read again: how many, of how many.
Seen = Callable[[int, int], None]


def verify(rundir: RunDir, deep: bool, seen: Seen = lambda done, total: None) -> Receipt:
    """Changes nothing. `deep` reads each item's file again. What is damaged or missing is a difference, no error."""
    findings = Findings()
    data = _read(rundir, findings)
    receipt = Receipt(run_id=rundir.run, run_dir=str(rundir.path), state=str(data.get("state")))
    if not data or not _is_finished(rundir, receipt.state, findings):
        return receipt.with_findings(findings)
    sources = _sources(rundir, data, findings)
    if sources is None:
        return receipt.with_findings(findings)
    totals = check_tables(rundir.path, data, sources, findings)
    receipt = replace(
        receipt,
        items=totals.items,
        ok=totals.ok,
        failed=totals.failed,
        pending=totals.pending,
        detections=totals.detections,
        digest=totals.digest,
        mendable=findings.mendable,
    )
    if totals.pending:
        findings.add(Part.PENDING, f"{totals.pending:,} of {totals.items:,} items: the run is {receipt.state}")
    if deep and totals.items:
        files = _read_files(rundir, sources.spec.root.encode(errors="surrogateescape"), totals, findings, seen)
        receipt = replace(receipt, files=files.same, without_digest=files.without_digest)
    return receipt.with_findings(findings)


def _read(rundir: RunDir, findings: Findings) -> dict[str, Any]:
    try:
        return rundir.read()
    except UsageError as error:
        findings.add(Part.RUN, str(error))
    except AttributeError:
        findings.add(Part.RUN, f"{rundir.path / 'run.json'} holds no JSON object")
    return {}


def _is_finished(rundir: RunDir, state: str, findings: Findings) -> bool:
    if rundir.has_owner():
        findings.add(Part.STATE, f"the run has a live owner and is not finished:  {rundir.command('watch')}")
        return False
    if state not in set(RunState):
        findings.add(Part.STATE, f"{state!r} is none that a run can be in")
    elif not RunState(state).finished:
        findings.add(Part.STATE, f"the run is not finished ({state}, without an owner):  {rundir.command('resume')}")
        return False
    return True


def _sources(rundir: RunDir, data: dict[str, Any], findings: Findings) -> Sources | None:
    """None where there is no spec to go by."""
    try:
        spec = rundir.spec()
    except (UsageError, KeyError, TypeError, ValueError) as error:
        findings.add(Part.SPEC, f"what run.json says of it cannot be read ({type(error).__name__}: {error})")
        return None
    if spec.digest != data.get("spec_digest"):
        findings.add(Part.SPEC, f"its digest is {spec.digest}, run.json says {data.get('spec_digest')}")
    pinned = data["detector"].get("digest") if isinstance(data.get("detector"), dict) else None
    if spec.detector_digest != pinned:
        findings.add(Part.SPEC, f"it pins the detector {spec.detector_digest}, run.json says {pinned}")
    return Sources(spec, _manifest(rundir, data, findings), _journal(rundir, findings))


def _manifest(rundir: RunDir, data: dict[str, Any], findings: Findings) -> Manifest | None:
    """None where its items are not those of the run any more."""
    if not rundir.manifest.is_dir():
        findings.add(Part.MANIFEST, "it is not there")
        return None
    try:
        manifest = Manifest(rundir.manifest)
    except (ManyeyesError, OSError) as error:
        findings.add(Part.MANIFEST, str(error))
        return None
    if not manifest.complete:
        # Of a run that was told to end, that is no damage.
        told_to_end = data["state"] in (RunState.CANCELLED, RunState.STOPPED)
        part, what = (Part.LISTING, "it had not ended") if told_to_end else (Part.MANIFEST, "it is not complete")
        findings.add(part, f"{what}: {manifest.items:,} items")
        return manifest
    try:
        manifest.check()
    except ManyeyesError as error:
        findings.add(Part.MANIFEST, str(error))
        # As many items as there were: then it can be said which path is another now.
        return manifest if manifest.facts()["items"] == manifest.items else None
    except (OSError, ValueError, KeyError, TypeError) as error:
        findings.add(Part.MANIFEST, f"its complete.json cannot be read ({type(error).__name__}: {error})")
    return manifest


def _journal(rundir: RunDir, findings: Findings) -> Journal | None:
    try:
        journal = JournalAsItIs(rundir.journal)
    except FileNotFoundError:
        findings.add(Part.JOURNAL, "it is not there")
        return None
    except OSError as error:
        findings.add(Part.JOURNAL, f"it cannot be read ({error})")
        return None
    if journal.unreadable:
        findings.add(Part.JOURNAL, f"{journal.unreadable:,} bytes in it are no whole result")
    return journal


@dataclass(slots=True)
class _Files:
    """What became of the files that were read again."""

    same: int = 0
    without_digest: int = 0


def _read_files(rundir: RunDir, root: bytes, totals: Totals, findings: Findings, seen: Seen) -> _Files:
    """One at a time, as the worker read them. Items of which the run could not read the file are passed over."""
    files, done = _Files(), 0
    for table in read_images(rundir.path):
        for row in image_rows(table):
            done += 1
            if row.content_sha256 is not None:
                try:
                    found = hashlib.sha256(fetch(root, row.raw_path)).hexdigest()
                except ItemError as error:
                    findings.add(Part.FILES, f"{row.name} cannot be read any more ({error.code})")
                else:
                    if found == row.content_sha256:
                        files.same += 1
                    else:
                        findings.add(Part.FILES, f"{row.name} has changed since the run: its SHA-256 is {found} now")
            elif row.status == "ok":
                files.without_digest += 1
            seen(done, totals.items)
    return files
