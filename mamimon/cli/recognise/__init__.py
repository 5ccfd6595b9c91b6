"""What a line of a program's output or of a log file is: its format, time, level and fields.

`mamimon run` and `mamimon logs ingest` both see lines through here: `formats` reads one line, `join`
puts the lines of a stack trace or a paragraph together, `times` reads what a line begins with.
"""
