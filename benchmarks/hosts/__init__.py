"""Hosts of a lab's own: network namespaces on a bridge, no disk in common, wires that can be slow or cut."""
