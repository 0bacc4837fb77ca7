#!/bin/sh
# The image has both programs; this is the one with the command that is asked for.
case "$1 $2" in
"node "*) exec "$PLUGIN" "$@" ;;
*) exec "$CONTROLLER" "$@" ;;
esac
