"""What the documentation makes from something else: README.md from its notebook, pages from the options and from what the command says."""

import input_examples
import options
import readme

for made in (readme, options, input_examples):
    made.PAGE.write_text(made.page(), encoding="utf-8")
