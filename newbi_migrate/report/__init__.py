"""One result, several faces: text for people, JSON for programs.

Pure: a result comes in, a text or a value goes out. Nothing here holds personal data, because
results hold none.
"""
