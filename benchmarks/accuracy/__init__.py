"""Published results on what recurrent cells remember and learn, run again: ``python -m benchmarks.accuracy``.

``claims.py`` holds the rows as data: what was published, what is trained here, and the rules that judge it.
``judge.py`` has the rules, ``blind.py`` the row that needs no training, ``table.py`` writes the table.
"""
