"""The evaluator as its own process, with a real object store, a real pre-trained model and real text."""

import contextlib
import hashlib
import json
import math
from types import SimpleNamespace

import grpc
import pytest

from model.checkpointing.checkpoint import Manifest
from model.data.eval_set import EvalSet
from model.document import Document
from model.evaluation.perplexity import evaluate_set
from retain.evaluator.v1 import resources_pb2, service_pb2
from retain.types.v1 import values_pb2
from services.common.store.object_store import s3_uri
from tests.contract.object_store_servers import running, seaweedfs_server
from tests.fakes.orchestrator_service import FakePlatform
from tests.identity import ADMIN
from tests.integration.evaluator import harness
from tests.ports import free_ports

pytestmark = pytest.mark.integration
SUCCEEDED, FAILED = resources_pb2.EVALUATION_STATE_SUCCEEDED, resources_pb2.EVALUATION_STATE_FAILED


@pytest.fixture(scope="module")
def here(tmp_path_factory, shared_data):
    """A store with the stories model, a disturbed copy of it, and two sets; an evaluator beside it."""
    folder = tmp_path_factory.mktemp("evaluator")
    with running(seaweedfs_server(folder)) as server:
        store = harness.store_of(server)
        model, tokenizer = harness.stories_model(shared_data)
        rows = (shared_data / "general" / "tinystories.val.jsonl").read_text().splitlines()
        texts = [json.loads(row)["text"] for row in rows[:320]]
        here = SimpleNamespace()
        here.server, here.store, here.folder = server, store, folder
        here.model, here.tokenizer = model, tokenizer
        here.base = harness.put_model(store, model, tokenizer, folder / "base")
        step = "runs/r1/midtrain/code/attempt-1/step-000000100"
        worse = harness.noisy(model, scale=0.08)
        here.worse = harness.put_model(store, worse, tokenizer, folder / "worse", key=step)
        here.gold = harness.put_set(store, "general", texts, tokenizer, folder / "gold", context=512)
        here.small = harness.put_set(store, "general", texts[:60], tokenizer, folder / "small")
        here.few = harness.put_set(store, "few", texts[:10], tokenizer, folder / "few")
        (here.orchestrator_port,) = free_ports(1)  # nobody is there but for a test that says so
        orchestrator = f"127.0.0.1:{here.orchestrator_port}"
        here.evaluator = harness.EvaluatorProcess.on(server.endpoint, folder / "home", server=orchestrator)
        here.evaluator.start()
        try:
            yield here
        finally:
            here.evaluator.stop()


def test_the_published_loss_comes_out(here):
    """llama2.c reports 1.297 nats a token on its validation data; 320 of its stories give 1.295 +- 0.01."""
    found = here.evaluator.evaluate("gold", harness.request_for(here.base, [here.gold], here.base, run="gold"))
    assert found.state == SUCCEEDED, found.error
    assert found.results[0].loss_nats == pytest.approx(1.295, abs=0.01)
    assert found.results[0].perplexity == pytest.approx(math.exp(found.results[0].nats / found.results[0].tokens))
    assert found.scores[0].ratio == 0.0  # an untouched model
    assert (found.scores[0].ratio_low, found.scores[0].ratio_high) == (0.0, 0.0)
    assert found.measure_seconds > 0


def test_a_disturbed_model_forgot_and_the_interval_says_how_surely(here):
    found = here.evaluator.evaluate("worse", harness.request_for(here.worse, [here.small, here.few], here.base))
    assert found.state == SUCCEEDED, found.error
    by_set = {score.retention_set: score for score in found.scores}
    score = by_set["general"]
    now, before = score.perplexity, score.baseline_perplexity
    assert score.ratio == pytest.approx((now - before) / before)
    assert score.nats == pytest.approx(math.log(now / before))
    assert 0 < score.ratio_low < score.ratio < score.ratio_high
    assert not by_set["few"].HasField("ratio_low")  # ten units are too few
    # The same set, model and threads in this process give the same sums.
    mine = evaluate_set(here.model, EvalSet.open(here.folder / "small"))
    assert mine.perplexity == pytest.approx(before, rel=1e-6)


def test_a_gauge_says_what_it_resolves_and_another_setting_of_it_lies_within(here):
    """One checkpoint, measured with one thread, with two, and in this process in other batches: every score of it
    against itself is within the floor, and exactly 0 where nothing differs."""
    found = here.evaluator.evaluate("floor", harness.request_for(here.base, [here.small], here.base, run="floor"))
    assert found.state == SUCCEEDED, found.error
    (score,) = found.scores
    assert score.ratio == 0.0
    assert 0.0 < score.floor_ratio < 1e-4  # a hundredth of a per cent: far below every threshold
    line = 'retain_forgetting_floor_ratio{retention_set="general",run="floor",stage="midtrain/code"} '
    shown = [row for row in here.evaluator.metrics().splitlines() if row.startswith(line)]
    assert [float(row.removeprefix(line)) for row in shown] == [pytest.approx(score.floor_ratio)]
    kept = [info.key for info in here.store.list("floors/")]
    other = harness.EvaluatorProcess.on(here.server.endpoint, here.folder / "two-threads")
    other.threads = 2
    other.start()
    try:
        again = other.evaluate("floor-2", harness.request_for(here.base, [here.small], here.base, run="floor-2"))
    finally:
        other.stop()
    assert again.state == SUCCEEDED, again.error
    assert again.scores[0].ratio == 0.0
    assert len(list(here.store.list("floors/"))) == len(kept) + 1  # another way of measuring has a floor of its own
    eval_set = EvalSet.open(here.folder / "small")
    mine = [evaluate_set(here.model, eval_set, batch_rows=rows).perplexity for rows in (1, 3, 64)]
    for now in (again.results[0].perplexity, *mine):
        assert abs(now / score.perplexity - 1) <= score.floor_ratio


def test_asked_twice_is_measured_once_also_after_a_restart(here):
    request = harness.request_for(here.worse, [here.small], here.base, run="twice")
    first = here.evaluator.evaluate("twice-1", request)
    again = here.evaluator.evaluate("twice-2", request)
    assert again.measure_seconds == 0.0
    here.evaluator.stop()
    here.evaluator.start()
    after = here.evaluator.evaluate("twice-3", request)
    assert after.measure_seconds == 0.0
    assert [row.nats for row in after.results] == [row.nats for row in first.results]
    assert after.scores[0] == first.scores[0]
    same = here.evaluator.evaluate("twice-1", request)
    assert same.create_time == first.create_time


def test_the_same_id_with_another_question_is_refused(here):
    request = harness.request_for(here.base, [here.few], run="other")
    here.evaluator.evaluate("mine", request)
    request.step = 999
    with here.evaluator.stub() as stub, pytest.raises(grpc.RpcError) as caught:
        stub.CreateEvaluation(service_pb2.CreateEvaluationRequest(evaluation_id="mine", request=request))
    assert caught.value.code() is grpc.StatusCode.ALREADY_EXISTS


def test_gauges_and_history_return_after_a_kill(here):
    here.evaluator.evaluate("shown", harness.request_for(here.worse, [here.small], here.base, run="shown"))
    line = 'retain_forgetting_ratio{retention_set="general",run="shown",stage="midtrain/code"}'
    before = [row for row in here.evaluator.metrics().splitlines() if row.startswith(line)]
    assert float(before[0].split()[-1]) > 0
    here.evaluator.kill()
    here.evaluator.start()
    assert [row for row in here.evaluator.metrics().splitlines() if row.startswith(line)] == before
    with here.evaluator.stub() as stub:
        history = stub.GetForgettingHistory(service_pb2.GetForgettingHistoryRequest(run_id="shown"))
    assert [(row.step, row.train_loss_nats) for row in history.records] == [(100, 1.5)]


def test_the_history_begins_with_the_base_before_training_also_after_a_kill(here):
    """The stories model itself: what is to be learned and what is to be kept, measured once."""
    request = harness.request_for(here.worse, [here.small, here.few], here.base, run="base")
    request.sets[1].role = values_pb2.SET_ROLE_TARGET
    del request.baselines[1]
    request.base.CopyFrom(here.base)
    here.evaluator.evaluate("base-1", request)
    here.evaluator.kill()
    here.evaluator.start()
    request.step = 200
    here.evaluator.evaluate("base-2", request)
    with here.evaluator.stub() as stub:
        rows = stub.GetForgettingHistory(service_pb2.GetForgettingHistoryRequest(run_id="base")).records
    assert [(row.baseline, row.step) for row in rows] == [(True, 0), (False, 100), (False, 200)]
    assert [row.set.name for row in rows[0].results] == ["general", "few"]
    assert rows[0].scores[0].ratio == 0.0
    few = evaluate_set(here.model, EvalSet.open(here.folder / "few"))
    assert rows[0].results[1].loss_nats == pytest.approx(few.loss_nats, rel=1e-6)


def test_the_records_of_a_deleted_run_are_gone_for_good(here):
    here.evaluator.evaluate("deleted-1", harness.request_for(here.worse, [here.few], here.base, run="deleted"))
    assert 'run="deleted"' in here.evaluator.metrics()
    with here.evaluator.stub() as stub:
        for _ in range(2):
            stub.DeleteRunRecords(service_pb2.DeleteRunRecordsRequest(run_id="deleted"), timeout=30)
        assert not stub.GetForgettingHistory(service_pb2.GetForgettingHistoryRequest(run_id="deleted")).records
        assert not stub.ListEvaluations(service_pb2.ListEvaluationsRequest(run_id="deleted")).evaluations
        with pytest.raises(grpc.RpcError) as caught:
            stub.GetEvaluation(service_pb2.GetEvaluationRequest(evaluation_id="deleted-1"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert 'run="deleted"' not in here.evaluator.metrics()
    assert not [info.key for info in here.store.list("") if "deleted" in info.key]
    here.evaluator.kill()
    here.evaluator.start()
    assert 'run="deleted"' not in here.evaluator.metrics()


def test_killed_while_it_measures_it_continues_after_the_restart(here):
    request = harness.request_for(here.worse, [here.gold], here.base, run="killed")
    with here.evaluator.stub() as stub:
        stub.CreateEvaluation(service_pb2.CreateEvaluationRequest(evaluation_id="killed", request=request))
    here.evaluator.kill()
    here.evaluator.start()
    found = here.evaluator.evaluate("killed", request)
    assert found.state == SUCCEEDED, found.error
    with here.evaluator.stub() as stub:
        history = stub.GetForgettingHistory(service_pb2.GetForgettingHistoryRequest(run_id="killed"))
    assert len(history.records) == 1


def test_other_weights_under_the_name_of_a_checkpoint_are_refused(here):
    """Whoever can write to the bucket puts other weights there, then a manifest that fits them: neither is measured."""
    honest = harness.put_model(
        here.store, harness.noisy(here.model, scale=0.01), here.tokenizer, here.folder / "honest"
    )
    request = harness.request_for(honest, [here.few], here.base, run="forged")
    theirs, ours = (ref.uri.split("/", 3)[3] for ref in (here.worse, honest))
    for number, name in enumerate(("model/model.safetensors", "manifest.json")):
        here.store.put_bytes(f"{ours}/{name}", here.store.get_bytes(f"{theirs}/{name}"))
        found = here.evaluator.evaluate(f"forged-{number}", request)
        assert (found.state, found.error_reason) == (FAILED, "CHECKPOINT_DAMAGED")
        assert "sha256" in found.error
        assert found.damaged == honest
    assert 'run="forged"' not in here.evaluator.metrics()


def test_points_of_a_line_are_measured_and_its_ends_are_the_checkpoints(here):
    losses = []
    for weight in (0.0, 0.5, 1.0):
        request = harness.request_for(here.worse, [here.small], here.base, run="line", export=False)
        request.interpolation = weight
        request.parent.CopyFrom(here.base)
        found = here.evaluator.evaluate(f"line-{weight}", request)
        assert found.state == SUCCEEDED, found.error
        losses.append(found.scores[0].ratio)
    assert losses[0] == 0.0
    assert losses[0] < losses[1] < losses[2]
    assert 'run="line"' not in here.evaluator.metrics()


def test_a_point_of_a_line_is_written_as_a_checkpoint_once_for_all(here):
    """What was measured between the ends is what the written checkpoint measures, bit for bit; again: the same."""
    asked = harness.request_for(here.worse, [here.small], here.base, run="line", export=False)
    asked.interpolation = 0.4
    asked.parent.CopyFrom(here.base)
    between = here.evaluator.evaluate("line-0.4", asked)
    order = service_pb2.WritePointRequest(
        checkpoint=here.worse, parent=here.base, point=0.4, output_uri=f"{here.worse.uri}-point-0.4"
    )
    with here.evaluator.stub() as stub:
        first = stub.WritePoint(order, timeout=60)
        again = stub.WritePoint(order, timeout=60)
    assert first == again
    written = first.checkpoint
    assert written.weights_digest not in {here.base.weights_digest, here.worse.weights_digest}
    measured = here.evaluator.evaluate(
        "written-0.4", harness.request_for(written, [here.small], here.base, export=False)
    )
    assert measured.state == SUCCEEDED, measured.error
    assert [r.nats for r in measured.results] == [r.nats for r in between.results]
    key = written.uri.split("/", 3)[3]
    manifest = Manifest.from_bytes(
        here.store.get_bytes(f"{key}/manifest.json"), expected_sha256=written.manifest_sha256
    )
    assert manifest.parent == here.worse.manifest_sha256
    assert manifest.size_bytes == first.bytes
    assert "model/tokenizer.json" in manifest.files


def test_every_fault_of_an_order_is_named(here):
    order = service_pb2.WritePointRequest(checkpoint=here.worse, point=1.0, output_uri=here.worse.uri)
    with here.evaluator.stub() as stub, pytest.raises(grpc.RpcError) as caught:
        stub.WritePoint(order)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    for field in ("parent.uri", "point", "output_uri"):
        assert field in caught.value.details()


def test_text_streams_from_a_checkpoint(here):
    """People sample; the services' own token may not."""
    with here.evaluator.stub(token=ADMIN) as stub:
        request = service_pb2.SampleTextRequest(checkpoint=here.base, prompt="Once upon a time", max_new_tokens=24)
        pieces = [reply.text for reply in stub.SampleText(request, timeout=60)]
        again = [reply.text for reply in stub.SampleText(request, timeout=60)]
    assert len(pieces) > 5
    assert "there was a little girl" in "".join(pieces)  # greedy: what this model always says
    assert pieces == again


def test_a_file_of_ones_own_has_the_figure_of_the_torch_core_and_is_measured_once(here, shared_data):
    rows = (shared_data / "general" / "tinystories.val.jsonl").read_text().splitlines()[:60]
    content = "\n".join(rows).encode()
    key = f"uploads/{hashlib.sha256(content).hexdigest()}/mine.jsonl"
    here.store.put_bytes(key, content)
    request = service_pb2.EvaluateFileRequest(checkpoint=here.base, uri=s3_uri(here.store, key), context=256)
    platform = FakePlatform()  # an orchestrator that lets everything be read
    platform.start(here.orchestrator_port)
    with contextlib.ExitStack() as stack:
        stack.callback(platform.stop)
        stub = stack.enter_context(here.evaluator.stub(token=ADMIN))
        told = harness.asked_again(lambda: [reply.evaluation for reply in stub.EvaluateFile(request, timeout=60)])
        again = [reply.evaluation for reply in stub.EvaluateFile(request, timeout=60)]
        request.uri = s3_uri(here.store, f"uploads/{'0' * 64}/gone.jsonl")
        with pytest.raises(grpc.RpcError) as caught:
            list(stub.EvaluateFile(request, timeout=60))
    documents = [Document(text=json.loads(row)["text"], origin=row) for row in rows]
    expected = evaluate_set(here.model, EvalSet.build("mine", documents, here.tokenizer, 256))
    found = told[-1].result
    assert told[0].state != resources_pb2.EVALUATION_STATE_SUCCEEDED, "progress before the result"
    assert found.nats == pytest.approx(expected.nats, rel=1e-6)
    assert (found.tokens, found.bytes, found.documents) == (expected.tokens, expected.bytes, 60)
    assert found.perplexity_low < found.perplexity < found.perplexity_high
    assert (again[-1].result.kept, again[-1].result.nats) == (True, found.nats)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "no object there" in caught.value.details()


def test_every_fault_of_a_question_is_named(here):
    request = resources_pb2.EvaluationRequest(export_metrics=True)
    with here.evaluator.stub() as stub, pytest.raises(grpc.RpcError) as caught:
        stub.CreateEvaluation(service_pb2.CreateEvaluationRequest(evaluation_id="", request=request))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    for field in ("evaluation_id", "request.checkpoint.uri", "request.sets", "request.run_id"):
        assert field in caught.value.details()


def test_evaluations_are_listed_newest_first_in_pages(here):
    with here.evaluator.stub() as stub:
        first = stub.ListEvaluations(service_pb2.ListEvaluationsRequest(page_size=2))
        rest = stub.ListEvaluations(service_pb2.ListEvaluationsRequest(page_token=first.next_page_token))
        only = stub.ListEvaluations(service_pb2.ListEvaluationsRequest(run_id="twice"))
        with pytest.raises(grpc.RpcError) as caught:
            stub.ListEvaluations(service_pb2.ListEvaluationsRequest(page_size=-1))
    assert len(first.evaluations) == 2
    times = [row.create_time.ToNanoseconds() for row in (*first.evaluations, *rest.evaluations)]
    assert times == sorted(times, reverse=True)
    assert {row.id for row in only.evaluations} == {"twice-1", "twice-2", "twice-3"}
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_store_that_is_away_for_a_while_costs_a_wait_and_no_failure(here):
    request = harness.request_for(here.worse, [here.few], here.base, run="away")
    with here.evaluator.stub() as stub:
        create = service_pb2.CreateEvaluationRequest(evaluation_id="away", request=request)
        here.server.stop()
        # Short of the service's patience with the store: the caller gives up first and asks again, as callers do.
        with pytest.raises(grpc.RpcError) as caught:
            stub.CreateEvaluation(create, timeout=1)
        here.server.start()
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert here.evaluator.evaluate("away", request, create_timeout_s=60).state == SUCCEEDED
