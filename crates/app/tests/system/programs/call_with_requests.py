"""Prints what a URL answers to `requests`, which takes its proxy from the environment."""

import sys

import requests

answer = requests.get(sys.argv[1], timeout=10)
answer.raise_for_status()
print(answer.text)
