"""Where the vectors live: one contract, one file per engine."""
