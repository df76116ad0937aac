"""What a scan hands back: the score map, its files and pictures, the comparison of modes, and the cost before."""

from everywindow.report.classes import class_index
from everywindow.report.comparison import Comparison, Farthest, LeftOut, ModeRun, Sample, Skipped
from everywindow.report.comparison_total import in_all, off
from everywindow.report.cost import Cost
from everywindow.report.detection import Detection
from everywindow.report.detections import checked_threshold
from everywindow.report.document import Html, bullets, columns, page, paragraph, section
from everywindow.report.explanation import Explanation
from everywindow.report.files import warn_if_incomplete
from everywindow.report.plot import draw_map
from everywindow.report.probe import AnswerRow, LayerPlace, LayerShift, PoolShift, Probe, check_target
from everywindow.report.pyramid import Pyramid
from everywindow.report.ranking import Ranking, ranking
from everywindow.report.score_map import Activation, ScoreMap, activated
from everywindow.report.text import counted, table

__all__ = [
    "Activation",
    "AnswerRow",
    "Comparison",
    "Cost",
    "Detection",
    "Explanation",
    "Farthest",
    "Html",
    "LayerPlace",
    "LayerShift",
    "LeftOut",
    "ModeRun",
    "PoolShift",
    "Probe",
    "Pyramid",
    "Ranking",
    "Sample",
    "ScoreMap",
    "Skipped",
    "activated",
    "bullets",
    "check_target",
    "checked_threshold",
    "class_index",
    "columns",
    "counted",
    "draw_map",
    "in_all",
    "off",
    "page",
    "paragraph",
    "ranking",
    "section",
    "table",
    "warn_if_incomplete",
]
