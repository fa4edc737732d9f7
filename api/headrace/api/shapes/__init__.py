"""What the API takes and gives, as explicit models: nothing else of a row is ever shown, nothing else of a body is read."""
