"""Condition metrics: do generated patches show what their conditions ask for?"""
