"""TFLite files: parsing, editing, compacting, signatures, operator versions, and export from Keras."""
