"""What a scan hands back: the score map, its files and pictures, the comparison of modes, and the cost before."""

from everywindow.report.comparison import Comparison, LeftOut, ModeRun
from everywindow.report.cost import Cost
from everywindow.report.detections import Detection
from everywindow.report.plot import draw_map
from everywindow.report.pyramid import Pyramid
from everywindow.report.score_map import Peak, ScoreMap

__all__ = ["Comparison", "Cost", "Detection", "LeftOut", "ModeRun", "Peak", "Pyramid", "ScoreMap", "draw_map"]
