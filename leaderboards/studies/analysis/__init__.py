"""Analysis of blinded reader studies: discrimination, scores, agreement and rates with intervals over readers and slides,
their tables, figure, paragraph and result records. Nothing here prepares a study or reads its pages.
"""
