"""Known networks against their crops: ``python -m benchmarks.zoo --out docs/zoo.md --readme README.md``.

All of torchvision's classifiers, and of timm's the smallest of each family (``--all-timm``: all of them). Each
network gets weights that tell windows apart (``tests/trial_weights.py``). Then, in float64: the converted network
against the original on images of the window's size, and against the plain sliding window of ``tests/oracle.py`` on an
image of one to two strides more. Differences are relative to the spread of the scores between windows. The exact
engine, with all shared that windows can share (no plan that would take crops instead), is compared with the same
sliding window at several strides per network, and single pixels are moved. A row that should hold and does not is
marked WRONG, and the exit code is 1.

Each network runs in a process of its own, for a limited time. Results are kept per network in ``build/zoo``, so a run
that was stopped goes on where it was; a change of the package's code or of what it is tested with makes them void.
The rows go into a JSON file beside the page; the page, and the list in the README, are made of that file alone.
"""
