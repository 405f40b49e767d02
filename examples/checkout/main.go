// SPDX-License-Identifier: Apache-2.0

// Command checkout is a small reservation service with a real bug.
//
// It keeps prices, offers and exchange rates in an LFU cache (lfu.go) whose Get forgets to unlink the frequency it
// leaves. Nothing fails at first: the heap grows by some MB a second, in small objects linked to one another. The
// garbage collector has to mark them all, each cycle takes longer, goroutines that allocate must assist, requests miss
// their deadline and are answered 503. No switch makes it dip; --fixed runs the same program with Get as it should be.
//
//	checkout [--listen HOST:PORT] [--pprof-listen HOST:PORT] [--deadline 50ms] [--gctrace-log FILE] [--fixed]
//
// Routes: GET and POST /reserve?item=N, GET /healthz, GET /metrics; on the second port /debug/pprof and /debug/fgprof.
// Port 0 takes a free one; the line on standard output says which.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/felixge/fgprof"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func debugRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.Handle("/debug/fgprof", fgprof.Handler())
	return mux
}

// traceGC lets the runtime write a line for each collection into a file. The runtime reads GODEBUG only as it starts and
// writes to standard error, so the program replaces itself once; its pid stays.
func traceGC(path string) error {
	if path == "" || strings.Contains(os.Getenv("GODEBUG"), "gctrace=1") {
		return nil
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	if err := syscall.Dup3(int(file.Fd()), 2, 0); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return syscall.Exec(self, os.Args, append(os.Environ(), "GODEBUG=gctrace=1"))
}

func listen(address string) net.Listener {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		log.Fatalf("checkout: cannot listen: %v", err)
	}
	return listener
}

func main() {
	address := flag.String("listen", "127.0.0.1:8080", "address of the service and its metrics")
	debugAddress := flag.String("pprof-listen", "127.0.0.1:6060", "address of /debug/pprof and /debug/fgprof")
	deadline := flag.Duration("deadline", 50*time.Millisecond, "a later answer is 503")
	gcLog := flag.String("gctrace-log", "", "file for the runtime's line per collection (GODEBUG=gctrace=1)")
	fixed := flag.Bool("fixed", false, "run with the cache's Get as it should be")
	flag.Parse()
	if err := traceGC(*gcLog); err != nil {
		log.Fatalf("checkout: cannot trace the collector into '%s': %v", *gcLog, err)
	}
	runtime.SetMutexProfileFraction(100)
	runtime.SetBlockProfileRate(int(time.Millisecond))

	shop := newShop(*fixed)
	mux := http.NewServeMux()
	mux.Handle("/reserve", observed("/reserve", withDeadline(*deadline, shop.reserve)))
	mux.Handle("/healthz", observed("/healthz", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "ok")
	}))
	mux.Handle("/metrics", promhttp.Handler())

	service, debug := listen(*address), listen(*debugAddress)
	fmt.Printf("checkout: listening on %s, pprof on %s, fixed=%v, pid %d\n", service.Addr(), debug.Addr(), *fixed,
		os.Getpid())
	go func() {
		log.Fatal(http.Serve(debug, debugRoutes()))
	}()
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		log.Fatal(http.Serve(service, mux))
	}()
	<-ended
}
