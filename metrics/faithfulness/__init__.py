"""Condition metrics: did painted patches keep what they were asked to show?"""
