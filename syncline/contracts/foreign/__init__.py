"""Events of other systems, as they come: pure readers that make a Change of each, or refuse it with the reason."""
