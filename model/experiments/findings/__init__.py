"""What the rows of an experiment say: comparisons at a matched target loss, intervals, tables, sentences and plots."""
