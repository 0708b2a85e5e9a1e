// The one translation unit that holds the test runner; the test cases are in the other files.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "doctest.h"
