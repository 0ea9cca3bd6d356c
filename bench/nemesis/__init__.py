"""What goes wrong on purpose: a plan of faults, struck and healed while a run goes on, and recorded as what it hit."""
