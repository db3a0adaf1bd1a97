"""Metrics of copying: do generated patches repeat pixels of their prompts or of training patches?"""
