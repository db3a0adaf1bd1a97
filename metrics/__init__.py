"""Metrics: one file each, or one folder where several share mathematics. Encoders are in metrics/encoders.

A metric computes one number, or counts, from its inputs. It reads no files, plans no records and does not depend on a
generator. The harness computes intervals, except for metrics with one of their own.
"""
