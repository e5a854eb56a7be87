"""The servers that `up` brings along: kept data, crashes, left-overs, two starts at once."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.embedded import AlreadyRunning, DataFolder, EmbeddedServers, is_in_use
from storage.embedded_postgres import EmbeddedPostgres
from storage.embedded_programs import may_enter, postgres_binaries, postgres_identity
from storage.processes import Identity, ServerFailed, command_line_of, is_running, wait_until

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def directory() -> Iterator[Path]:
    """A folder that PostgreSQL's user may enter: pytest's own are closed."""
    place = Path(tempfile.mkdtemp(prefix="data-"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


@pytest.fixture
def servers(directory: Path) -> Iterator[EmbeddedServers]:
    servers = EmbeddedServers(directory, with_postgres=True, with_valkey=True)
    yield servers
    servers.stop()


def query(server: EmbeddedPostgres, sql: str) -> str:
    binaries = postgres_binaries("18", None, server.directory)
    command = [str(binaries / "psql"), "--no-psqlrc", "-At", "-c", sql, server.url]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return str(done.stdout).strip()


def test_data_is_kept_between_starts_and_survives_a_crash(servers: EmbeddedServers) -> None:
    postgres = servers._postgres
    servers.start()
    query(postgres, "create table kept (n int); insert into kept values (7)")
    servers.stop()
    assert postgres.pid is None
    servers.start()
    assert query(postgres, "select n from kept") == "7"
    query(postgres, "insert into kept values (8)")
    postgres.kill()
    servers._valkey.kill()

    assert servers.restart_fallen() == ["EmbeddedPostgres", "EmbeddedValkey"]
    assert servers.restart_fallen() == []
    assert query(postgres, "select sum(n) from kept") == "15"
    assert query(postgres, "show fsync") == "on"


def test_files_of_the_log_are_there_before_they_are_needed(servers: EmbeddedServers) -> None:
    servers.start()
    files = "select count(*) from pg_ls_waldir() where name > pg_walfile_name({})"
    assert int(query(servers._postgres, files.format("pg_current_wal_lsn()"))) >= 10


def test_postgres_listens_on_a_closed_socket_only(servers: EmbeddedServers) -> None:
    servers.start()
    postgres = servers._postgres

    assert query(postgres, "show listen_addresses") == ""
    assert stat.S_IMODE(postgres._socket_directory.stat().st_mode) == 0o700


def test_valkey_wants_its_password_and_does_not_show_it(servers: EmbeddedServers) -> None:
    servers.start()
    valkey = servers._valkey
    assert valkey.port is not None
    assert valkey.pid is not None
    with socket.create_connection(("127.0.0.1", valkey.port), timeout=5) as connection:
        connection.sendall(b"PING\r\n")
        answer = connection.recv(100)

    assert answer.startswith(b"-NOAUTH")
    assert valkey._password not in (command_line_of(valkey.pid) or "")
    assert stat.S_IMODE(valkey._configuration_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(valkey.directory.stat().st_mode) == 0o700


def test_servers_are_in_sessions_of_their_own(servers: EmbeddedServers) -> None:
    servers.start()
    for server in servers._wanted:
        assert server.pid is not None
        assert os.getsid(server.pid) == server.pid


def test_left_overs_of_a_killed_start_are_replaced(directory: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from storage.embedded import *\n"
        "folder = DataFolder(Path(sys.argv[1]))\n"
        "servers = EmbeddedServers(folder.directory, with_postgres=True, with_valkey=True)\n"
        "servers.start(); print(servers._postgres.pid, servers._valkey.pid, flush=True)\n"
        "time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, directory], stdout=subprocess.PIPE, cwd=REPOSITORY
    ) as killed:
        assert killed.stdout is not None
        postgres_id, valkey_id = (int(text) for text in killed.stdout.readline().split())
        assert is_in_use(directory)
        with pytest.raises(AlreadyRunning, match=f"process {killed.pid}.*DATA_DIR"):
            DataFolder(directory)
        killed.send_signal(signal.SIGKILL)
    assert not is_in_use(directory)
    assert is_running(postgres_id, str(directory))
    assert is_running(valkey_id, str(directory))

    folder = DataFolder(directory)
    servers = EmbeddedServers(directory, with_postgres=True, with_valkey=False)
    servers.start()
    assert not is_running(postgres_id, str(directory))
    assert not is_running(valkey_id, str(directory))
    assert query(servers._postgres, "select 1") == "1"
    assert servers.redis_url is None
    servers.stop()
    folder.close()


def test_the_folder_is_free_again_when_its_holder_closes_it(directory: Path) -> None:
    DataFolder(directory).close()
    folder = DataFolder(directory)
    assert is_in_use(directory)
    folder.close()
    assert not is_in_use(directory)
    assert not is_in_use(directory / "nowhere")


def test_a_strict_umask_does_not_keep_postgres_out(directory: Path) -> None:
    before = os.umask(0o077)
    try:
        folder = DataFolder(directory / "new" / "data")
        server = EmbeddedPostgres(folder.directory / "postgres")
        server.start()
    finally:
        os.umask(before)
    assert server.is_ready
    assert stat.S_IMODE((folder.directory / "run").stat().st_mode) == 0o700
    server.stop()
    folder.close()


def test_half_an_initialisation_is_done_again(directory: Path) -> None:
    (directory / "postgres.new").mkdir()
    (directory / "postgres.new" / "PG_VERSION").write_text("18\n")
    server = EmbeddedPostgres(directory / "postgres")
    server.start()
    assert query(server, "select 1") == "1"
    server.stop()


def test_a_process_id_that_is_somebody_elses_now_is_left_alone(directory: Path) -> None:
    server = EmbeddedPostgres(directory / "postgres")
    server.start()
    server.stop()
    pid_file = server.directory / "postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n{server.directory}\n0\n5432\n\n\n\nready\n")

    assert server.pid is None
    assert not server.is_ready
    server.stop()
    pid_file.unlink()


def test_a_long_path_puts_the_socket_elsewhere(directory: Path) -> None:
    server = EmbeddedPostgres(directory / ("long" * 25) / "postgres")
    server.start()
    assert query(server, "select 1") == "1"
    assert server._socket_directory != server.directory
    server.stop()
    server._socket_directory.rmdir()


def test_data_of_another_version_is_refused_and_not_touched(directory: Path) -> None:
    data = directory / "postgres"
    data.mkdir()
    (data / "PG_VERSION").write_text("12\n")
    with pytest.raises(ServerFailed, match="PostgreSQL 12"):
        EmbeddedPostgres(data).start()

    assert [path.name for path in data.iterdir()] == ["PG_VERSION"]


def test_a_server_that_cannot_start_says_why(directory: Path) -> None:
    server = EmbeddedPostgres(directory / "postgres")
    server.start()
    server.stop()
    (server.directory / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(ServerFailed, match="no_such_setting"):
        server.start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts PostgreSQL as somebody else")
def test_root_opens_no_folder_for_postgres(directory: Path) -> None:
    closed = directory / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(ServerFailed, match=r"may not enter .*closed.*DATA_DIR"):
        EmbeddedPostgres(closed / "postgres").start()

    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts PostgreSQL as somebody else")
def test_programs_in_a_closed_folder_are_copied(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = postgres_identity()
    assert identity is not None
    monkeypatch.setattr("storage.embedded_programs.may_enter", lambda path, who: False)
    copied = postgres_binaries("18", identity, directory / "programs")
    monkeypatch.undo()

    assert copied.is_relative_to(directory)
    server = EmbeddedPostgres(directory / "postgres", binaries=copied)
    server.start()
    assert server.is_ready
    server.stop()


def test_permission_bits_of_the_owner_come_first(tmp_path: Path) -> None:
    own = Identity("me", os.geteuid(), os.getegid())
    stranger = Identity("other", os.geteuid() + 1, os.getegid() + 1)
    tmp_path.chmod(0o701)
    assert may_enter(tmp_path, own)
    assert may_enter(tmp_path, stranger)
    tmp_path.chmod(0o700)
    assert not may_enter(tmp_path, stranger)


def test_a_process_that_ended_has_no_command_line() -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as child:
        assert wait_until(lambda: command_line_of(child.pid) is None, 10)
