"""Find leukemia under the microscope, honestly: the package behind the book."""

__version__ = "0.2.0"
