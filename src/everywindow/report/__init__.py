"""What a scan hands back: the score map, its files and pictures, and the comparison of modes."""

from everywindow.report.comparison import Comparison, LeftOut, ModeRun, table
from everywindow.report.detections import Detection
from everywindow.report.plot import draw_map
from everywindow.report.pyramid import Pyramid
from everywindow.report.score_map import Peak, ScoreMap

__all__ = ["Comparison", "Detection", "LeftOut", "ModeRun", "Peak", "Pyramid", "ScoreMap", "draw_map", "table"]
