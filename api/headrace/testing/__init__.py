"""The test kit: run a workflow in a test, without services, with some of its tasks mocked and time that flies.

    from headrace.testing import run

    def test_the_report_counts_what_was_priced():
        result = run(daily_sales, {"regions": ["eu"]}, mocks={"price": 3})
        assert result.state == "succeeded"
        assert result.tasks["check"].output == {"rows": 4}

The real engine, store, broker and worker run, in a folder that is removed afterwards.
"""

from headrace.testing.mocking import Mock, Raises
from headrace.testing.running import Result, TaskResult, arun, run, run_workflow

__all__ = ["Mock", "Raises", "Result", "TaskResult", "arun", "run", "run_workflow"]
