"""What is fast here, against what one would use instead: ``make bench``.

One module per topic. Each has ``rows(scale)``, which yields what `measure.compare` returns:

=====================  ===========================================================================
``what``               what is done, by this package
``alternative_name``   what does the same instead
``unit``               of the two times, as ``"ms a picture"``
``ours``               median time, by this package
``alternative``        median time, the other way
``ratio``              times as fast as the alternative: median over the pairs of runs
``low``, ``high``      smallest and largest ratio
``goal``               the ratio to reach, or None
``busy``,              where a GPU is, of the topic `card` alone: share of the time in which it
``alternative_busy``   computed
=====================  ===========================================================================

The two ways run in turns, in one process, and each turn gives one ratio: so whatever slows the
machine down slows both. `growth` runs some steps on few and on many pictures.
"""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"  # read when NumPy and OpenCV load; TensorFlow has threads of its own
