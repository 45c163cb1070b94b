"""One result, one document, several renderers: text for people, JSON for programs.

Pure: a result comes in, a document goes out, and a renderer writes it. Nothing here holds personal
data, because results hold none. Each renderer cleans at its own edge what others have written.
"""
