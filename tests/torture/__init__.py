"""Damage, kills, faults and neighbours: nothing that is in use of an image may be lost.

``make torture`` runs all of it, ``make test`` a short form. One file a part, which is found by its
name in :data:`.parts.PARTS`.
"""
