"""Experiments on forgetting: real text, a real small model, and every arm measured in the same way.

    python -m model.experiments --quick            # everything, one seed
    python -m model.experiments --only a,c --out build/experiments

What: a pre-trained model of 260,032 parameters that tells children's stories (stories260K) continues with another kind
of text (arithmetic problems, abstracts of papers, source code), and one thing at a time is changed: the share of
replay, the learning rate, a penalty, the order of the text. Every arm sees the same number of tokens, is measured on
the same frozen documents, and leaves one row of JSON under its own digest, so that asking again does only what is
missing.

    arms.py       what one run is: plain data with a digest
    corpora.py    the text: shards to train on, frozen sets to measure
    stage_run.py  one run, from its plan to its row
    gate.py       what decides at a boundary: nothing (a fixed mix), or a gate that is handed in
    catalogue.py  the experiments (a) to (l) as lists of arms
    self_text.py  what the pre-trained model writes itself, for (l)
    pool.py       two processes of one thread side by side, progress with the time left
    line.py       one line from a parent to its result, measured finely, for the guides
    law.py        how well laws of the share predict runs that they have not seen
    findings/     what the rows say: forgetting at matched target loss, means and intervals, tables, sentences, plots

Why so small a model: a run takes a minute on one core, so that an arm can be repeated with three seeds and a strength
can be swept. What holds here need not hold at 7 B; what fails here is seldom worth trying there.
"""
