"""The one error for all that can be wrong with a camera's picture; raised here and by nodes."""


class BadImageError(Exception):
    """
    A picture that cannot be shown to the model.

    kind: what is wrong in one word, to count by, such as 'truncated'; the text names the values
    and, where there is one, the way out.
    """

    def __init__(self, kind: str, text: str):
        super().__init__(text)
        self.kind = kind
