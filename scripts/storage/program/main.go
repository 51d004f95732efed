// A server of the S3 protocol over a folder, for tests: the gateway of Versity, with what it needs for that.
//
// storage ADDRESS FOLDER: each folder in FOLDER/objects is a bucket. The credentials are in the environment, and by choice
// the files of a certificate and its key (STORAGE_CERT, STORAGE_KEY), and whether nothing may be written (STORAGE_READONLY).
package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
)

func main() {
	address, folder := os.Args[1], os.Args[2]
	objects, facts := filepath.Join(folder, "objects"), filepath.Join(folder, "facts")
	for _, path := range []string{objects, facts} {
		if err := os.MkdirAll(path, 0o700); err != nil {
			log.Fatal(err)
		}
	}
	// Beside the objects: not every file system has extended attributes.
	store, err := meta.NewSideCar(facts)
	if err != nil {
		log.Fatal(err)
	}
	backend, err := posix.New(objects, store, posix.PosixOpts{SideCarDir: facts, CopyObjectThreshold: 5 << 30})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err = embedgw.RunVersityGW(ctx, backend, &embedgw.Config{
		RootUserAccess:    os.Getenv("AWS_ACCESS_KEY_ID"),
		RootUserSecret:    os.Getenv("AWS_SECRET_ACCESS_KEY"),
		Region:            "us-east-1",
		Ports:             []string{address},
		MaxConnections:    1000,
		MaxRequests:       1000,
		KeepAlive:         true,
		Quiet:             true,
		Readonly:          os.Getenv("STORAGE_READONLY") == "1",
		CertFile:          os.Getenv("STORAGE_CERT"),
		KeyFile:           os.Getenv("STORAGE_KEY"),
		MultipartMaxParts: 10000,
	})
	if err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}
