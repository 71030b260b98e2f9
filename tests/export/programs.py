"""Cases in which every part of a C program takes part, one for each kernel target."""

from __future__ import annotations

from sockiter.cases import Case, loads

RFC = "add A tail\nadd B tail\nadd C tail\nopen\nread 1\nremove A\nread all\n"

UDP = """
# Every operation of UDP sockets, and every way to read them.
add A tail
add B head in 1
add C tail in 1 bound
add D head unwanted
rehash C to 0
open
read 1
reinsert A tail
rehash B to 0
add E tail in 1
rehash E to 0
rehash E to 1
read 7 bytes
destroy B
destroy C
add F head in 1 bound
rehash F to 0
walk
again
walk until error
read 1 destroying
reinsert A head
remove E
read until error
again
walk destroying
destroy D
read all
"""
LISTENING = """
add A tail
add B head in 2
open
read 1
add C tail in 2
reinsert A tail
rehash B to 0
remove C
destroy A
read all
"""
CONNECTIONS = """
# Listening sockets and connections, moved from one table to the other, and the whole life of a connection.
add A tail
add B head in 2
add C head in established:1
add D head in established:1 request
add E head in established:1 request unwanted
add F head in established:3
add G head in established:1
close G
open
read 1
reinsert A tail
rehash B to established:1
rehash C to 1
rehash C to established:2
add H head in established:0 request
add I head in established:3
add J tail in 2
accept D
close F
read 2
accept H
reinsert H head
destroy I
destroy J
destroy E
remove F
destroy G
read all
again
read until error
"""
ESTABLISHED = """
add A head in 1
add B head in 1
add C head request
open
read 1
rehash A to 0
reinsert B head
remove C
add D head
destroy D
add E head request
destroy E
read 40 bytes
read all
"""
DESTROYING = """
add A tail
add B head in established:1
add C head in established:1
open
read 1 destroying
rehash A to 2
rehash A to established:0
reinsert A head
rehash B to 1
destroy B
remove C
walk destroying
"""
UNIX = """
add A tail
add B tail in 2 unwanted
add C tail in 1
open
read 20 bytes
add D head in 1
remove A
read all
"""
PROC_UDP = """
add A tail
add B tail in 1
add C tail in 1
open
read 200 bytes
remove B
add D head in 1
read 56 bytes
reinsert A head
destroy C
read 1
rehash A to 1
read all
"""
PROC_TCP = """
add A tail
add B tail in 1
add C head in established:2
add D head in established:2
open
read 1
destroy A
rehash C to established:0
rehash D to 3
read 300 bytes
remove B
read all
"""
DIAG_UDP = """
batch 15
add A tail
add B tail in 1
open
remove A
rehash B to 0
destroy B
read all
again
read 1
read until error
"""
DIAG_TCP = """
batch 15
add A tail
add B tail in 1
add C head in established:2
open
remove A
rehash B to 0
reinsert C head
destroy B
read all
"""
DIAG_UNIX = """
batch 15
add A tail
add B tail in 1
open
remove A
read all
"""
STOPS_UDP = """
add A tail
add B tail
add C tail
add D tail in 1 bound
open
read 1
  at show 1: add E head
  at show 1: rehash C to 1
  at show 1: rehash C to 1
read 1
  at show 1: reinsert A head
  at show 9: remove C
read all
  at show 2: add F tail unwanted
"""
STOPS_TCP = """
add A head in established:1
add B head in established:1
add C head in established:1 request
add D tail
add E tail
open
read 2
  at show 1: reinsert E tail
  at show 1: rehash D to 1
  at show 2: add F head in established:2
read 1
  at show 1: close A
read all
again
read all
  at show 1: accept C
"""
STOPS_LEAVE = """
add A tail
add B tail
open
read all
  at show 1: remove A
  at show 2: remove B
"""
STOPS_UNIX = """
add A tail
add B tail
open
read 1
  at show 1: add C head
  at show 7: remove A
read all
"""
MIXED = (
    ("kernel:udp", UDP),
    ("kernel:tcp", LISTENING),
    ("kernel:tcp", CONNECTIONS),
    ("kernel:tcp", DESTROYING),
    ("kernel:tcp-established", ESTABLISHED),
    ("kernel:unix", UNIX),
    ("kernel:proc-udp", PROC_UDP),
    ("kernel:proc-tcp", PROC_TCP),
    ("kernel:udp-diag", DIAG_UDP),
    ("kernel:tcp-diag", DIAG_TCP),
    ("kernel:unix-diag", DIAG_UNIX),
    ("kernel:udp", STOPS_UDP),
    ("kernel:udp", STOPS_LEAVE),
    ("kernel:tcp", STOPS_TCP),
    ("kernel:unix", STOPS_UNIX),
)


def case_of(text: str) -> Case:
    """A case from its text."""
    return loads(text)
