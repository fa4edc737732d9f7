"""Which addresses HTTP tasks may reach."""


class HttpPolicy: ...
