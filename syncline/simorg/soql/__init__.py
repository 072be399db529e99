"""SOQL: text to syntax tree (`parser`), tree to a plan over the store (`evaluate`)."""
