#!/bin/sh
exec cat model/current.bin
