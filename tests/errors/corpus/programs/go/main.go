// Command shop runs each mistake in several ways and sends it with sentry-go; the tag `corpus` is its label.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/getsentry/sentry-go"

	"shop/orders"
)

func caught(label string, run func() error) {
	hub := sentry.CurrentHub().Clone()
	hub.Scope().SetTag("corpus", label)
	defer func() {
		if found := recover(); found != nil {
			hub.Recover(found)
		}
	}()
	if err := run(); err != nil {
		report(hub, err)
	}
}

// report is the one place that the program sends errors from, as in most programs.
func report(hub *sentry.Hub, err error) {
	hub.CaptureException(err)
}

func inGoroutine(label string, run func() error) {
	var wait sync.WaitGroup
	wait.Add(1)
	go func() {
		defer wait.Done()
		caught(label, run)
	}()
	wait.Wait()
}

func main() {
	n, err := strconv.Atoi(os.Getenv("ROUND"))
	if err != nil {
		panic(err)
	}
	err = sentry.Init(sentry.ClientOptions{Dsn: os.Getenv("DSN"), Release: os.Getenv("RELEASE"), AttachStacktrace: true})
	if err != nil {
		panic(err)
	}
	store := orders.NewStore()
	caught("go-nil-map", func() error { store.Tag(n, "late"); return nil })
	inGoroutine("go-nil-map", func() error { store.TagAll([]int{n, n + 1}, "late"); return nil })
	caught("go-index", func() error { orders.First(make([]int, 0)); return nil })
	inGoroutine("go-index", func() error { orders.Batch([][]int{{1}, {}}); return nil })
	caught("go-nil-pointer", func() error { _ = orders.City(nil); return nil })
	caught("go-nil-pointer", func() error { orders.Labels([]*orders.Order{nil}); return nil })
	caught("go-type", func() error { orders.Amount(any("x" + strconv.Itoa(n))); return nil })
	caught("go-divide", func() error { orders.Mean(nil); return nil })
	caught("go-not-found", func() error { return store.Load(1000 + n) })
	inGoroutine("go-not-found", func() error { return store.LoadAll([]int{500 + n}) })
	caught("go-parse", func() error { return orders.Quantity("x" + strconv.Itoa(n)) })
	caught("go-json", func() error { var v map[string]int; return json.Unmarshal([]byte(`{"a": "b`+strconv.Itoa(n)+`"}`), &v) })
	caught("go-dial", func() error {
		_, err := net.DialTimeout("tcp", "127.0.0.1:9", time.Second)
		return fmt.Errorf("pay order %d: %w", n, err)
	})
	caught("go-open", func() error { _, err := os.Open(fmt.Sprintf("/srv/invoices/%d/x.pdf", n)); return err })
	caught("go-joined", func() error { return errors.Join(orders.ErrStock, fmt.Errorf("cart %d is empty", n)) })
	caught("go-stock", func() error { return fmt.Errorf("order %d: %w", n, orders.ErrStock) })
	caught("go-must", func() error { orders.Must(orders.Quantity("q" + strconv.Itoa(n))); return nil })
	caught("go-must-env", func() error { orders.MustEnv("SHOP_REGION"); return nil })
	caught("go-deep", func() error { orders.Deep(3+4*n, nil); return nil })
	hub := sentry.CurrentHub().Clone()
	hub.Scope().SetTag("corpus", "go-msg-slow")
	hub.CaptureMessage(fmt.Sprintf("query took %d ms", 900+n*17))
	hub.Scope().SetTag("corpus", "go-msg-full")
	hub.CaptureMessage(fmt.Sprintf("queue holds %d jobs", 900+n*17))
	sentry.Flush(5 * time.Second)
}
