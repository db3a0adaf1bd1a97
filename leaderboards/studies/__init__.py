"""Blinded reader studies: a study is prepared here, read offline in a browser, and its answers are joined with the key.

study folder      study.json (the registered plan) and pages/reader-N.html, one offline page for each reader
key folder        key.json: which image of which arm is at each position. Readers never get it
answer files      one JSON file for each reader, which the page exports

`schema.py` has the three files, `questionnaires.py` the questions. `sources.py` and `sampling.py` choose images, `power.py`
says what a study of a size can show, `preparing.py` and `page.py` write the study, `answers.py` checks answers and joins them
with the key. Statistics of answers are in `analysis/`.
"""
