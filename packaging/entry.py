"""Where the frozen program starts: hand over to the package, and import nothing on the way."""

from acr_credential_provider.__main__ import main

if __name__ == "__main__":
    raise SystemExit(main())
