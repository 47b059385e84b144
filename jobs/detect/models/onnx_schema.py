"""The part of the ONNX format that says where a model's tensors are, as protobuf messages.

Field numbers are those of `onnx.proto` (onnx/onnx, Apache-2.0); all other fields pass through unread.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {"int32": _Field.TYPE_INT32, "int64": _Field.TYPE_INT64, "bytes": _Field.TYPE_BYTES}

#: By message: its fields' names, numbers and types; `*` after a type: repeated.
FIELDS: dict[str, dict[str, tuple[int, str]]] = {
    "ModelProto": {
        "graph": (7, "GraphProto"),
        "training_info": (20, "TrainingInfoProto*"),
        "functions": (25, "FunctionProto*"),
    },
    "GraphProto": {
        "node": (1, "NodeProto*"),
        "initializer": (5, "TensorProto*"),
        "sparse_initializer": (15, "SparseTensorProto*"),
    },
    "NodeProto": {"attribute": (5, "AttributeProto*")},
    "AttributeProto": {
        "t": (5, "TensorProto"),
        "g": (6, "GraphProto"),
        "tensors": (10, "TensorProto*"),
        "graphs": (11, "GraphProto*"),
        "sparse_tensor": (22, "SparseTensorProto"),
        "sparse_tensors": (23, "SparseTensorProto*"),
    },
    "SparseTensorProto": {"values": (1, "TensorProto"), "indices": (2, "TensorProto")},
    "TrainingInfoProto": {"initialization": (1, "GraphProto"), "algorithm": (2, "GraphProto")},
    "FunctionProto": {"node": (7, "NodeProto*"), "attribute_proto": (11, "AttributeProto*")},
    "TensorProto": {
        "dims": (1, "int64*"),
        "data_type": (2, "int32"),
        "name": (8, "bytes"),
        "raw_data": (9, "bytes"),
        "external_data": (13, "StringStringEntryProto*"),
        "data_location": (14, "int32"),
    },
    "StringStringEntryProto": {"key": (1, "bytes"), "value": (2, "bytes")},
}


def _model_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="manyeyes/onnxschema.proto", package="manyeyes", syntax="proto2")
    for name, members in FIELDS.items():
        message = file.message_type.add(name=name)
        for member, (number, kind) in members.items():
            repeated, kind = kind.endswith("*"), kind.rstrip("*")  # noqa: PLW2901
            field = message.field.add(name=member, number=number)
            field.label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
            field.type = _SCALARS.get(kind, _Field.TYPE_MESSAGE)
            if kind not in _SCALARS:
                field.type_name = f".manyeyes.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("manyeyes.ModelProto"))


#: A message class: `ModelProto.FromString(data)`.
ModelProto = _model_class()
