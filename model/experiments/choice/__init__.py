"""What is chosen: a share before a stage, by a trial of mixes; a point after it, of several kinds."""
