#!/bin/bash
# Trains on the hosts of Open MPI 4 or 5; with a process, a host or the storage lost, it
# resumes from the newest checkpoint until the run is finished. SIGTERM, SIGHUP and Ctrl-C
# save and end it. Start it on the first of the hosts:
#
#   MPIRUN="mpirun --bind-to none --hostfile hosts -np 4" bash examples/train_mpirun.sh \
#       --config=configs/horse2zebra.py --config.batch_size=16 --workdir=/shared/run
#
# (By default mpirun binds each of two processes to one core of the processor.)

python=${PYTHON:-.venv/bin/python}
# A host that does not answer for 40 s is lost; without this, mpirun waits for minutes.
for prefix in OMPI PRTE; do # Open MPI 4 and 5.
  export ${prefix}_MCA_oob_tcp_keepalive_{time=20,intvl=5,probes=4}
done
# After a signal mpirun would kill its processes too soon to save; each leads a group.
save() {
  ranks=$(pgrep -f -P $! train.py) || kill -TERM $!
  for rank in $ranks; do kill -TERM -$rank; done
  wait $!
  exit 143
}
trap save TERM INT HUP
notes=$(mktemp --directory) # Of process 0, since Open MPI 5 ends with 0 at times.
trap 'rm -r "$notes"' EXIT
for start in {1..100}; do
  rm -f "$notes"/*
  setsid ${MPIRUN:-mpirun --bind-to none} bash -c '
    trap : TERM
    [ "$OMPI_COMM_WORLD_RANK" != 0 ] || touch "$0/started"
    "$@" || exit
    [ "$OMPI_COMM_WORLD_RANK" != 0 ] || touch "$0/finished"
  ' "$notes" "$python" train.py "$@" &
  wait $!
  status=$?
  if [ -e "$notes/started" ]; then
    case $status in
      0) [ ! -e "$notes/finished" ] || exit 0 ;; # Otherwise a host was lost.
      75 | 137 | 205 | 255) ;; # The storage, a process or a host was lost.
      *) exit $status ;;
    esac
  elif [ $start = 1 ]; then
    exit $status
  else # A host cannot be reached; it may be back later.
    sleep "${PAUSE:-60}" & wait $!
  fi
  echo "mpirun ended with status $status; starting again" >&2
done
exit 75
