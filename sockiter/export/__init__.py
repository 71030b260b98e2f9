"""Cases in the forms that others can run or read: a C program, a test for the kernel's selftests, a mail."""
