"""What is measured of an answer without a judge: one file per aspect, one table of all."""
