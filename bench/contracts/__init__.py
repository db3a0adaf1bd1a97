"""The checks behind `bench check`: what every plug-in of a kind must do, one named function each, mostly on a small mock.

A check returns if the plug-in passes, with what there is to say of it. It raises `Broken` with the fault, or `Skip` with the
reason why it does not apply.
"""

from bench.contracts.cases import Outcome
from bench.contracts.datasets import check_dataset
from bench.contracts.encoders import check_encoder
from bench.contracts.generators import check_generator
from bench.contracts.kinds import KINDS, contract_of, find_kind
from bench.contracts.layout_metrics import check_layout_metric
from bench.contracts.layouts import check_layouts
from bench.contracts.metrics import check_metric
from bench.contracts.mock import mock
from bench.contracts.tasks import check_task

__all__ = [
    "KINDS",
    "Outcome",
    "check_dataset",
    "check_encoder",
    "check_generator",
    "check_layout_metric",
    "check_layouts",
    "check_metric",
    "check_task",
    "contract_of",
    "find_kind",
    "mock",
]
