"""The Open Inference Protocol, by tritonclient: the cases of oip_tritonclient.py on a server of their own, tiny and real."""

import unittest

import harness
import oip_tritonclient


class TinyModel(oip_tritonclient.Tritonclient):
    MODEL = harness.BERT

    @classmethod
    def setUpClass(cls):
        server = cls.enterClassContext(harness.Server(models=[cls.MODEL]))
        oip_tritonclient.ADDRESS = server.address
        super().setUpClass()


class MiniLm(TinyModel):
    MODEL = f"minilm={harness.MINILM}"


def load_tests(loader, _tests, _pattern):
    """Without the imported class itself, which has no server."""
    return unittest.TestSuite(loader.loadTestsFromTestCase(case) for case in (TinyModel, MiniLm))


if __name__ == "__main__":
    unittest.main()
