"""The name and version of the program."""

NAME = "aliyun-acr-credential-provider"
VERSION = "0.1.0"
