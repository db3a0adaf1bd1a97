"""Condition metrics: did generated patches keep what they were asked to show?"""
