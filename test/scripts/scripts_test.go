package scripts_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/rollcall-dev/rollcall/test/scripts"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestScripts(t *testing.T) { scripts.Run(t, "testdata") }
