"""Data: find C-NMC 2019 or the sample that ships, know who is whom, split it, read pictures.

`cnmc` indexes a tree, `sample` holds real cells, `pack` one fold in a file; `people` says who is
whom; `splits`, `images`."""
