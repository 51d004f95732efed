"""How results are made: `formats` describes objects as mime bundles, `fitting` fits bundles into the budget."""
